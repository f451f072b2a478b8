-- Make the codes of a catalogue the ones to be given: those that nobody has had yet, in their order.
-- KEYS: 1 which list they were made from, 2 codes by decision, 3 codes that nobody has had.
-- ARGV: 1 name of the list, then the codes. Answers how many wait now. Codes that were given stay given, also when the list
-- does not hold them any more.
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('LLEN', KEYS[3]) end
local given = {}
for _, code in ipairs(redis.call('HVALS', KEYS[2])) do given[code] = true end
redis.call('SET', KEYS[1], ARGV[1])
redis.call('DEL', KEYS[3])
for at = 2, #ARGV do
  if not given[ARGV[at]] then redis.call('RPUSH', KEYS[3], ARGV[at]) end
end
return redis.call('LLEN', KEYS[3])
