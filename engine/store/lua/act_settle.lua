-- Write down what became of an action, if it is still in the hands of the one who claimed it.
-- KEYS: 1 queue, 2 record, 3 list of those that are over. ARGV: 1 id, 2 until when it was claimed, 3 record,
--       4 when to look at it again (empty: it is over), 5 ms that the record stays, 6 when it was over.
-- Answers 'written' or 'lost'.
local held = redis.call('ZSCORE', KEYS[1], ARGV[1])
if not held or tonumber(held) ~= tonumber(ARGV[2]) then return 'lost' end
if ARGV[4] ~= '' then
  redis.call('SET', KEYS[2], ARGV[3])
  redis.call('ZADD', KEYS[1], ARGV[4], ARGV[1])
else
  redis.call('SET', KEYS[2], ARGV[3], 'PX', ARGV[5])
  redis.call('ZREM', KEYS[1], ARGV[1])
  redis.call('ZADD', KEYS[3], ARGV[6], ARGV[1])
end
return 'written'
