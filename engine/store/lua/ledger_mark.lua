-- Note in the ledger that an offer was seen (state 1) or taken (state 2).
-- KEYS: 1 ledger. ARGV: 1 decision, 2 offer, 3 placement, 4 state, 5 at (ms).
-- Answers the decision that made the entry, whose name its unit of stock bears; empty where no entry fits.
-- A state never goes back, so a repeat changes nothing. The transitions are those of engine/decisioning/ledger.py.
local RESERVED = 0
local state, at = tonumber(ARGV[4]), tonumber(ARGV[5])
local blob = redis.call('GET', KEYS[1])
if not blob then return '' end
local ledger = cmsgpack.unpack(blob)
local entries = ledger[2]

local function meant()
  for i = #entries, 1, -1 do
    if entries[i][2] == ARGV[2] then
      for _, id in ipairs(entries[i][1]) do
        if id == ARGV[1] then return entries[i] end
      end
    end
  end
  for i = #entries, 1, -1 do
    local entry = entries[i]
    if entry[2] == ARGV[2] and entry[4] == RESERVED and (ARGV[3] == '' or ARGV[3] == entry[3]) then return entry end
  end
end

local entry = meant()
if not entry then return '' end
if entry[4] < state then
  if entry[4] == RESERVED then entry[5] = math.max(entry[5], at) end
  entry[4] = state
  redis.call('SET', KEYS[1], cmsgpack.pack(ledger), 'KEEPTTL')
end
return entry[1][1]
