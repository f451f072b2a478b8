-- Admit one decision: answer a repeated request, check the caps, write ledger, log and answer together.
-- KEYS: 1 ledger, 2 stream of events, 3 request (only where the caller named one).
-- ARGV: 1 now (ms), 2 how long entries matter (ms), 3 hash of the request, 4 body of the answer, 5 seconds it is kept,
--       6 claims, 7 sticky choices (both msgpack), then fields and values of the log entry (none: nothing is logged).
-- Answers 'committed', {'stored', body}, {'conflict'} or {'refused', offer, placement, stage}: a table costs the server a call
-- to the kernel for each of its items.
-- The transitions are those of engine/decisioning/ledger.py, against which this script is tested. Every check comes
-- before the first write, and the first write is one that needs memory: a refused script changes nothing.
local RESERVED, CHANNEL = 0, 'x:'
local LATE_VIEW, MOST_ENTRIES, MOST_DECISIONS = 86400000, 500, 8
local now, keep_ms = tonumber(ARGV[1]), tonumber(ARGV[2])

if KEYS[3] then
  local stored = redis.call('GET', KEYS[3])
  if stored then
    local split = string.find(stored, '\n', 1, true)
    if string.sub(stored, 1, split - 1) ~= ARGV[3] then return {'conflict'} end
    return {'stored', string.sub(stored, split + 1)}
  end
end

local blob = redis.call('GET', KEYS[1])
local ledger = blob and cmsgpack.unpack(blob) or {1, {}, {}}
local entries = {}
for _, entry in ipairs(ledger[2]) do
  if entry[5] > now - keep_ms and (entry[4] ~= RESERVED or entry[6] > now - LATE_VIEW) then
    entries[#entries + 1] = entry
  end
end

local function under(entry, scope)
  for _, name in ipairs(entry[7]) do
    if name == scope then return true end
  end
  return false
end

local function reaches(entry, scopes)
  for _, name in ipairs(scopes) do
    if string.sub(name, 1, 2) == CHANNEL and not under(entry, name) then return false end
  end
  return true
end

local function held(wanted)
  for _, entry in ipairs(entries) do
    if entry[2] == wanted[2] and entry[3] == wanted[3] and entry[4] == RESERVED and entry[6] > now
      and reaches(entry, wanted[7]) then return entry end
  end
end

local function meets(entry, cap)
  if not under(entry, cap[1]) then return false end
  for _, name in ipairs(cap[4] or {}) do
    if not under(entry, name) then return false end
  end
  return true
end

local function contacts(cap)
  local n = 0
  for _, entry in ipairs(entries) do
    if entry[5] > now - cap[3] and (entry[4] ~= RESERVED or entry[6] > now) and meets(entry, cap) then n = n + 1 end
  end
  return n
end

local claims = cmsgpack.unpack(ARGV[6])
for _, claim in ipairs(claims) do
  local wanted, caps, joins = claim[1], claim[2], claim[3]
  local entry = held(wanted)
  if entry then
    local ids = {entry[1][1]}
    local later = {}
    for i = 2, #entry[1] do later[#later + 1] = entry[1][i] end
    later[#later + 1] = wanted[1][1]
    for i = math.max(1, #later - MOST_DECISIONS + 2), #later do ids[#ids + 1] = later[i] end
    entry[1] = ids
    if wanted[4] ~= RESERVED then
      entry[4] = wanted[4]
      entry[5] = math.max(entry[5], wanted[5])
    end
  else
    if joins then return {'refused', wanted[2], wanted[3], 'stock'} end
    if #entries >= MOST_ENTRIES then return {'refused', wanted[2], wanted[3], 'cap'} end
    for _, cap in ipairs(caps) do
      if contacts(cap) >= cap[2] then return {'refused', wanted[2], wanted[3], 'cap'} end
    end
    entries[#entries + 1] = wanted
  end
end

local sticky = cmsgpack.unpack(ARGV[7])
if #claims > 0 or #sticky > 0 then
  local kept, renewed = {}, {}
  for _, one in ipairs(sticky) do renewed[one[1]] = true end
  for _, one in ipairs(ledger[3]) do
    if one[3] > now and not renewed[one[1]] then kept[#kept + 1] = one end
  end
  for _, one in ipairs(sticky) do kept[#kept + 1] = one end
  redis.call('SET', KEYS[1], cmsgpack.pack({1, entries, kept}), 'PX', keep_ms)
end
if #ARGV > 7 then redis.call('XADD', KEYS[2], '*', unpack(ARGV, 8)) end
if KEYS[3] then redis.call('SET', KEYS[3], ARGV[3] .. '\n' .. ARGV[4], 'EX', ARGV[5]) end
return 'committed'
