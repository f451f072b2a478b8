"""Customer state and how events change it.

State keeps *when* and *how much*, never a reading such as "days since": readings belong to `engine.features`, which
derives them at the moment of use. A profile is a set of parts, one per identity, so that joining two identities adds a
part and undoing a wrong join takes it out again.
"""
