-- Take actions over from the stream of a shard: each once, however often it is handed in.
-- KEYS: 1 queue, then the record of each. ARGV: for each its id, when it is to be looked at, and the record.
-- Answers how many are new.
local new = 0
for i = 2, #KEYS do
  local at = (i - 2) * 3
  if redis.call('SET', KEYS[i], ARGV[at + 3], 'NX') then
    redis.call('ZADD', KEYS[1], ARGV[at + 2], ARGV[at + 1])
    new = new + 1
  end
end
return new
