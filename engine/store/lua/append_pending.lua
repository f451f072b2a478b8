-- Appends an event that the next decision must obey, and notes it beside the customer's profile until it is folded.
-- KEYS: 1 stream, 2 pending string. ARGV: 1 event, 2 fingerprint, 3 customer.
local id = redis.call('XADD', KEYS[1], '*', 'e', ARGV[1], 'h', ARGV[2], 'k', ARGV[3])
redis.call('APPEND', KEYS[2], id .. ' ' .. ARGV[1] .. '\n')
return id
