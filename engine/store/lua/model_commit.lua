-- One atomic commit of the learner.
-- KEYS: 1 head, 2 journal, then strings to set, then keys to delete.
-- ARGV: 1 expected head, 2 new head, 3 number, 4 journal entry, 5 how many strings, then the strings.
-- The check comes before the first write, and the first write is the one that needs memory.
local held = redis.call('GET', KEYS[1]) or ''
if held ~= ARGV[1] then
  if held == ARGV[2] then return 'already' end
  return 'fenced'
end
local sets = {KEYS[1], ARGV[2]}
local last = 2 + tonumber(ARGV[5])
for i = 3, last do
  sets[#sets + 1] = KEYS[i]
  sets[#sets + 1] = ARGV[i + 3]
end
redis.call('MSET', unpack(sets))
for i = last + 1, #KEYS do redis.call('DEL', KEYS[i]) end
redis.call('XADD', KEYS[2], ARGV[3] .. '-0', 'j', ARGV[4])
return 'written'
