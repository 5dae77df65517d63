-- Show some dead letters, the oldest first.
-- KEYS: as named below.
-- ARGV: first rank, how many at most.
-- Returns four values a letter: mid, content, note ("attempts born lease error"), ms when it died.
local dead, dead_messages, dead_notes = unpack(KEYS)

local page = redis.call('ZRANGE', dead, ARGV[1], ARGV[1] + ARGV[2] - 1, 'WITHSCORES')
local told = {}
for i = 1, #page, 2 do
  local mid, n = page[i], #told
  told[n + 1], told[n + 2] = mid, redis.call('HGET', dead_messages, mid)
  told[n + 3], told[n + 4] = redis.call('HGET', dead_notes, mid), tonumber(page[i + 1])
end
return told
