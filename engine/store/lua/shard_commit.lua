-- One atomic commit of a shard batch.
-- KEYS: 1 offset, 2 owner, 3 timers, 4 popularity, 5 lift, 6 histogram, 7 references, 8 gone, 9 examples, 10 dead letters,
--       11 outbox, 12 events, 13 decisions, 14 actions, 15 complaints, 16 baskets, 17 days of workstations, 18 leads; then, in
--       the order of their use, strings to set, strings to append to, keys to delete, pending strings of what is told to other
--       shards and to the shard itself and is obeyed at once, pending strings to settle, timelines, sets by hashed address,
--       receipts.
-- ARGV: 1 expected offset, 2 new offset, 3 owner, 4 names, numbers and lengths, as msgpack, 5 whatever is bytes, end to end in
--       the order of its use: cmsgpack knows no bytes. `sizes` says how long each of them is.
-- Every check comes before the first write, and the first write is the one that needs memory: a refused script changes nothing.
local held = redis.call('GET', KEYS[1]) or '0-0'
if held ~= ARGV[1] then
  if held == ARGV[2] and redis.call('GET', KEYS[2]) == ARGV[3] then return 'already' end
  return 'fenced'
end
local told, bytes = cmsgpack.unpack(ARGV[4]), ARGV[5]
local last_key, last_value, last_byte = 18, 0, 0
local function key()
  last_key = last_key + 1
  return KEYS[last_key]
end
local function value()
  local first = last_byte + 1
  last_value = last_value + 1
  last_byte = last_byte + told.sizes[last_value]
  return string.sub(bytes, first, last_byte)
end
local function all(command, name, items)
  for first = 1, #items, 2000 do redis.call(command, name, unpack(items, first, math.min(first + 1999, #items))) end
end
local function values(count)
  local items = {}
  for i = 1, count do items[i] = value() end
  return items
end
local function fields(names)
  local items = {}
  for i, name in ipairs(names) do items[2 * i - 1], items[2 * i] = name, value() end
  return items
end

for first = 1, told.sets, 1000 do
  local items = {}
  for i = first, math.min(first + 999, told.sets) do items[#items + 1], items[#items + 2] = key(), value() end
  redis.call('MSET', unpack(items))
end
redis.call('MSET', KEYS[1], ARGV[2], KEYS[2], ARGV[3])

for _ = 1, told.appended do
  local name = key()
  redis.call('APPEND', name, value())
  redis.call('EXPIRE', name, told.seen_seconds)
end
for _ = 1, told.deleted do redis.call('DEL', key()) end

all('ZREM', KEYS[3], told.timers_done)
all('ZADD', KEYS[3], told.timers)
all('HSET', KEYS[4], fields(told.popularity))
all('HSET', KEYS[5], fields(told.lift))
all('HSET', KEYS[6], told.histogram)
all('HDEL', KEYS[6], told.emptied)
all('HSET', KEYS[7], fields(told.references))
all('SADD', KEYS[8], values(told.erased))
for _ = 1, told.examples do redis.call('XADD', KEYS[9], '*', 'x', value()) end
for _, one in ipairs(told.dead) do
  redis.call('XADD', KEYS[10], '*', 'e', value(), 'r', one[1], 'k', one[2], 'h', value(), 'i', one[3])
end
for _, one in ipairs(told.outbox) do
  local shard, customer, source, entry, noted = unpack(one)
  local event = value()
  redis.call('XADD', KEYS[11], '*', 's', shard, 'k', customer, 'e', event, 'h', value(), 'p', source, 'i', entry)
  if noted then redis.call('APPEND', key(), entry .. ' ' .. event .. '\n') end
end
for _, one in ipairs(told.own) do
  local customer, source = unpack(one)
  local event = value()
  local id = redis.call('XADD', KEYS[12], '*', 'e', event, 'h', value(), 'k', customer)
  if source ~= '' then redis.call('APPEND', key(), id .. ' ' .. event .. '\n') end
end
for _ = 1, told.decisions do redis.call('XADD', KEYS[13], '*', 'd', value()) end
for _ = 1, told.actions do redis.call('XADD', KEYS[14], '*', 'a', value()) end
all('HSET', KEYS[15], fields(told.complaints))
for _ = 1, told.baskets do redis.call('XADD', KEYS[16], 'MAXLEN', '~', told.most_baskets, '*', 'b', value()) end

local ms, seq = string.match(ARGV[2], '(%d+)-(%d+)')
ms, seq = tonumber(ms), tonumber(seq)
for _ = 1, told.settled do
  local name = key()
  local text = redis.call('GET', name)
  if text then
    local left = {}
    for line in string.gmatch(text, '[^\n]+') do
      local a, b = string.match(line, '^(%d+)-(%d+) ')
      a, b = tonumber(a), tonumber(b)
      if a > ms or (a == ms and b > seq) then left[#left + 1] = line .. '\n' end
    end
    if #left > 0 then redis.call('SET', name, table.concat(left)) else redis.call('DEL', name) end
  end
end

for _, lines in ipairs(told.timeline) do
  local name = key()
  all('RPUSH', name, values(lines))
  redis.call('LTRIM', name, -told.most_lines, -1)
end
for _, one in ipairs(told.reached) do redis.call(one[2] and 'SADD' or 'SREM', key(), one[1]) end
all('HSET', KEYS[17], fields(told.days))
all('HDEL', KEYS[17], told.forgotten)
for _ = 1, told.receipts do redis.call('SET', key(), value(), 'EX', told.receipt_seconds) end
all('HSET', KEYS[18], fields(told.leads))
all('HDEL', KEYS[18], told.closed)
return 'written'
