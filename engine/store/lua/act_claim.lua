-- Take what is due into one's hands until a moment; whoever has not settled it by then has lost it.
-- KEYS: 1 queue. ARGV: 1 now (ms), 2 until (ms), 3 how many at most. Answers the ids.
local ids = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])
for _, id in ipairs(ids) do redis.call('ZADD', KEYS[1], ARGV[2], id) end
return ids
