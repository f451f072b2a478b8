-- Forgets what was pending at one identity up to an entry: it stands beside the customer it was passed on to.
-- KEYS: 1 pending string. ARGV: 1 id of the last entry that was passed on.
local text = redis.call('GET', KEYS[1])
if not text then return 0 end
local ms, seq = string.match(ARGV[1], '(%d+)-(%d+)')
ms, seq = tonumber(ms), tonumber(seq)
local left = {}
for line in string.gmatch(text, '[^\n]+') do
  local a, b = string.match(line, '^(%d+)-(%d+) ')
  a, b = tonumber(a), tonumber(b)
  if a > ms or (a == ms and b > seq) then left[#left + 1] = line .. '\n' end
end
if #left > 0 then redis.call('SET', KEYS[1], table.concat(left)) else redis.call('DEL', KEYS[1]) end
return 1
