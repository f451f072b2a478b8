-- Give a decision a code of a coupon pool; a repeat for the same decision gives the same one.
-- KEYS: 1 ends: decisions scored by when their code comes back (ms); 2 codes by decision; 3 codes that nobody has had.
-- ARGV: 1 decision, 2 now (ms), 3 when it comes back (or +inf: never).
-- Answers the code, or an empty string where none is left. Codes that nobody has had go first; then the one that came back
-- longest ago, so that somebody who looks late still finds their own.
local score = redis.call('ZSCORE', KEYS[1], ARGV[1])
if score then
  redis.call('ZADD', KEYS[1], 'GT', ARGV[3], ARGV[1])
  return redis.call('HGET', KEYS[2], ARGV[1])
end
local code = redis.call('LINDEX', KEYS[3], 0)
if code then
  redis.call('HSET', KEYS[2], ARGV[1], code)
  redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
  redis.call('LPOP', KEYS[3])
  return code
end
local former = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[2], 'LIMIT', 0, 1)[1]
if not former then return '' end
code = redis.call('HGET', KEYS[2], former)
redis.call('HSET', KEYS[2], ARGV[1], code)
redis.call('ZADD', KEYS[1], ARGV[3], ARGV[1])
redis.call('HDEL', KEYS[2], former)
redis.call('ZREM', KEYS[1], former)
return code
