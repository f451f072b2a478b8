-- Set money of a budget aside for one offer of a decision: for the contact, and for a redemption that may follow.
-- KEYS: 1 ends: what is set aside, scored by when it comes back (ms); 2 amounts by the same names, and under '=' their sum.
-- ARGV: 1 name (empty: only look), 2 capacity, 3 now (ms), then two times: 4/6 amount, 5/7 when it comes back (or +inf: never).
-- Answers 1 where it is set aside, 0 where too little is left; a look answers the sum. A repeat of a name sets nothing aside again.
-- All amounts are whole minor units. What has come back is taken off the sum first: that needs no memory.
local now = ARGV[3]
local over = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, 1000)
for _, name in ipairs(over) do
  local amount = redis.call('HGET', KEYS[2], name)
  if amount then
    redis.call('HINCRBY', KEYS[2], '=', -tonumber(amount))
    redis.call('HDEL', KEYS[2], name)
  end
  redis.call('ZREM', KEYS[1], name)
end
local held = tonumber(redis.call('HGET', KEYS[2], '=') or '0')
if ARGV[1] == '' then return held end

local wanted, missing = {}, 0
for at, suffix in ipairs({'', '|redeemed'}) do
  local amount, name = tonumber(ARGV[2 + 2 * at]), ARGV[1] .. suffix
  if amount > 0 then
    wanted[#wanted + 1] = {name, amount, ARGV[3 + 2 * at]}
    if redis.call('HEXISTS', KEYS[2], name) == 0 then missing = missing + amount end
  end
end
if held + missing > tonumber(ARGV[2]) then return 0 end
for _, one in ipairs(wanted) do
  if redis.call('HSETNX', KEYS[2], one[1], string.format('%d', one[2])) == 1 then
    redis.call('HINCRBY', KEYS[2], '=', string.format('%d', one[2]))
    redis.call('ZADD', KEYS[1], one[3], one[1])
  else
    redis.call('ZADD', KEYS[1], 'GT', one[3], one[1])
  end
end
return 1
