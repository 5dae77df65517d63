-- Show some messages, a page of them.
-- KEYS: as named below.
-- ARGV: now (ms; '' asks the server), cursor, entries to look at.
-- Returns {next cursor, then six values a message: mid, content, status, claims, ms it still rests, ms of its age}.
local messages, messages_rq, udts, locks, backoffs, nattempts, done, requeue = unpack(KEYS)
-- include: now
-- include: status

local page = redis.call('HSCAN', messages, ARGV[2], 'COUNT', ARGV[3])
local told = {page[1]}
for i = 1, #page[2], 2 do
  local mid, n = page[2][i], #told
  told[n + 1], told[n + 2], told[n + 3] = mid, page[2][i + 1], status(mid)
  told[n + 4] = tonumber(redis.call('HGET', nattempts, mid) or 0)
  told[n + 5] = math.max(0, tonumber(redis.call('HGET', backoffs, mid) or 0) - now)
  told[n + 6] = math.max(0, now - tonumber(redis.call('HGET', udts, mid) or now))
end
return told
