-- Put a dead letter back into the queue, once. KEYS: 1 queue, 2 record, 3 dead letters. ARGV: 1 id, 2 record, 3 now (ms).
-- Answers 1, or 0 where it is no dead letter (any more).
if redis.call('ZREM', KEYS[3], ARGV[1]) == 0 then return 0 end
redis.call('SET', KEYS[2], ARGV[2])
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
return 1
