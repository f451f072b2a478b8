-- Take one unit of a stock for a decision; a repeat for the same decision takes no second one.
-- KEYS: 1 stock: decisions scored by when their unit comes back (ms).
-- ARGV: 1 decision, 2 capacity, 3 now (ms), 4 when it comes back (ms, or +inf: never).
-- Answers 1 where the unit is the decision's, 0 where none is left. The write that needs memory comes first.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not score or tonumber(score) <= tonumber(ARGV[3]) then
  if redis.call('ZCOUNT', KEYS[1], '(' .. ARGV[3], '+inf') >= tonumber(ARGV[2]) then return 0 end
end
if not score or tonumber(score) < tonumber(ARGV[4]) then redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1]) end
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', ARGV[3])
return 1
