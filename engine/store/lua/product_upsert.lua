-- One product as it was told, where nothing newer is held of it.
-- KEYS: 1 facts by product, 2 products by the version at which they changed, 3 the version, 4 stream of price falls.
-- ARGV: 1 product, 2 when it was told (ms), 3 price, 4 currency, 5 facts, 6 keep falls from here on (stream id).
-- What is held begins with "<when>|<price>|<currency>|"; a price in another currency is not compared.
local held = redis.call('HGET', KEYS[1], ARGV[1])
local fell = nil
if held then
  local at, price, currency, facts = string.match(held, '^(%-?%d+)|(%d+)|(%a+)|(.*)$')
  if tonumber(at) > tonumber(ARGV[2]) then return 'older' end
  if facts == ARGV[5] then return 'same' end
  if currency == ARGV[4] and tonumber(ARGV[3]) < tonumber(price) then fell = price end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2] .. '|' .. ARGV[3] .. '|' .. ARGV[4] .. '|' .. ARGV[5])
redis.call('ZADD', KEYS[2], redis.call('INCR', KEYS[3]), ARGV[1])
if fell then
  redis.call('XADD', KEYS[4], 'MINID', '~', ARGV[6], '*', 'p', ARGV[1], 'w', fell, 'n', ARGV[3], 'c', ARGV[4], 't', ARGV[2])
  return 'cheaper'
end
return 'written'
