-- One atomic commit of a shard batch.
-- KEYS: 1 offset, 2 timers, 3 examples, 4 dead letters, 5 outbox, 6 decisions, 7 popularity, 8 gone, 9 owner, 10 lift,
--       11 histogram, 12 references, 13 actions, 14 complaints, 15 baskets, 16 days of workstations, 17 events,
--       then strings to set, strings to append to, keys to delete, pending strings of what is told to other shards and to the
--       shard itself and is obeyed at once, pending strings to settle, timelines, sets by hashed address, receipts.
-- the last of KEYS are open leads by customer.
-- ARGV: 1 expected offset, 2 new offset, 3 seconds that fingerprints stay, 4 owner, then for each list its length and its items.
-- Every check comes before the first write, and the first write is the one that needs memory: a refused script changes nothing.
local held = redis.call('GET', KEYS[1]) or '0-0'
if held ~= ARGV[1] then
  if held == ARGV[2] and redis.call('GET', KEYS[9]) == ARGV[4] then return 'already' end
  return 'fenced'
end
local at = 5
local function count()
  local n = tonumber(ARGV[at])
  at = at + 1
  return n
end
local function each(n, width, call)
  local items = {}
  for i = 1, n * width do
    items[#items + 1] = ARGV[at]
    at = at + 1
    if #items == 1000 * width then call(items) items = {} end
  end
  if #items > 0 then call(items) end
end
local key = 18

local sets = count()
local pairs_ = {}
for i = 1, sets do
  pairs_[#pairs_ + 1] = KEYS[key]
  pairs_[#pairs_ + 1] = ARGV[at]
  key = key + 1
  at = at + 1
  if #pairs_ == 4000 then redis.call('MSET', unpack(pairs_)) pairs_ = {} end
end
if #pairs_ > 0 then redis.call('MSET', unpack(pairs_)) end
redis.call('MSET', KEYS[1], ARGV[2], KEYS[9], ARGV[4])

local appends = count()
for i = 1, appends do
  redis.call('APPEND', KEYS[key], ARGV[at])
  redis.call('EXPIRE', KEYS[key], ARGV[3])
  key = key + 1
  at = at + 1
end
local deletes = count()
for i = 1, deletes do
  redis.call('DEL', KEYS[key])
  key = key + 1
end

each(count(), 1, function(items) redis.call('ZREM', KEYS[2], unpack(items)) end)
each(count(), 2, function(items) redis.call('ZADD', KEYS[2], unpack(items)) end)
each(count(), 2, function(items) redis.call('HSET', KEYS[7], unpack(items)) end)
each(count(), 2, function(items) redis.call('HSET', KEYS[10], unpack(items)) end)
each(count(), 2, function(items) redis.call('HSET', KEYS[11], unpack(items)) end)
each(count(), 1, function(items) redis.call('HDEL', KEYS[11], unpack(items)) end)
each(count(), 2, function(items) redis.call('HSET', KEYS[12], unpack(items)) end)
each(count(), 1, function(items) redis.call('SADD', KEYS[8], unpack(items)) end)
for i = 1, count() do
  redis.call('XADD', KEYS[3], '*', 'x', ARGV[at])
  at = at + 1
end
for i = 1, count() do
  redis.call('XADD', KEYS[4], '*', 'e', ARGV[at], 'r', ARGV[at + 1], 'k', ARGV[at + 2], 'h', ARGV[at + 3], 'i', ARGV[at + 4])
  at = at + 5
end
for i = 1, count() do
  redis.call('XADD', KEYS[5], '*', 's', ARGV[at], 'k', ARGV[at + 1], 'e', ARGV[at + 2], 'h', ARGV[at + 3], 'p', ARGV[at + 4],
    'i', ARGV[at + 5])
  if ARGV[at + 6] == '1' then
    redis.call('APPEND', KEYS[key], ARGV[at + 5] .. ' ' .. ARGV[at + 2] .. '\n')
    key = key + 1
  end
  at = at + 7
end
for i = 1, count() do
  local id = redis.call('XADD', KEYS[17], '*', 'e', ARGV[at], 'h', ARGV[at + 1], 'k', ARGV[at + 2])
  if ARGV[at + 3] == '1' then
    redis.call('APPEND', KEYS[key], id .. ' ' .. ARGV[at] .. '\n')
    key = key + 1
  end
  at = at + 4
end
for i = 1, count() do
  redis.call('XADD', KEYS[6], '*', 'd', ARGV[at])
  at = at + 1
end
for i = 1, count() do
  redis.call('XADD', KEYS[13], '*', 'a', ARGV[at])
  at = at + 1
end
each(count(), 2, function(items) redis.call('HSET', KEYS[14], unpack(items)) end)
local baskets, kept = count(), count()
for i = 1, baskets do
  redis.call('XADD', KEYS[15], 'MAXLEN', '~', kept, '*', 'b', ARGV[at])
  at = at + 1
end

local ms, seq = string.match(ARGV[2], '(%d+)-(%d+)')
ms, seq = tonumber(ms), tonumber(seq)
local settled = count()
for i = 1, settled do
  local text = redis.call('GET', KEYS[key])
  if text then
    local left = {}
    for line in string.gmatch(text, '[^\n]+') do
      local a, b = string.match(line, '^(%d+)-(%d+) ')
      a, b = tonumber(a), tonumber(b)
      if a > ms or (a == ms and b > seq) then left[#left + 1] = line .. '\n' end
    end
    if #left > 0 then redis.call('SET', KEYS[key], table.concat(left)) else redis.call('DEL', KEYS[key]) end
  end
  key = key + 1
end

local timelines, most = count(), tonumber(ARGV[at])
at = at + 1
for i = 1, timelines do
  each(count(), 1, function(items) redis.call('RPUSH', KEYS[key], unpack(items)) end)
  redis.call('LTRIM', KEYS[key], -most, -1)
  key = key + 1
end
for i = 1, count() do
  redis.call(ARGV[at] == '1' and 'SADD' or 'SREM', KEYS[key], ARGV[at + 1])
  key = key + 1
  at = at + 2
end
each(count(), 2, function(items) redis.call('HSET', KEYS[16], unpack(items)) end)
each(count(), 1, function(items) redis.call('HDEL', KEYS[16], unpack(items)) end)
local receipts, stays = count(), ARGV[at]
at = at + 1
for i = 1, receipts do
  redis.call('SET', KEYS[key], ARGV[at], 'EX', stays)
  key = key + 1
  at = at + 1
end
each(count(), 2, function(items) redis.call('HSET', KEYS[#KEYS], unpack(items)) end)
each(count(), 1, function(items) redis.call('HDEL', KEYS[#KEYS], unpack(items)) end)
return 'written'
