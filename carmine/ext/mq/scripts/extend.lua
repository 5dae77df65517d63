-- Make leases last longer, counted from now; fenced as in finish.lua.
-- KEYS: as named below.
-- ARGV: now (ms; '' asks the server), then three words a lease: mid, fence, lease (ms).
-- Returns one number a lease: 1 applied, 0 it was lost.
local locks, fences, due = unpack(KEYS)
-- include: now
-- include: drains

local mids, replies, until_, at = {}, {}, {}, {}
for i = 1, (#ARGV - 1) / 3 do mids[i] = ARGV[i * 3 - 1] end
local held = redis.call('HMGET', fences, unpack(mids))
for i, mid in ipairs(mids) do
  if held[i] and held[i] == ARGV[i * 3] then
    local expiry = now + tonumber(ARGV[i * 3 + 1])
    replies[i] = 1
    until_[#until_ + 1] = mid
    until_[#until_ + 1] = expiry
    at[#at + 1] = expiry
    at[#at + 1] = mid
  else
    replies[i] = 0
  end
end
if #at > 0 then
  redis.call('HSET', locks, unpack(until_))
  redis.call('ZADD', due, unpack(at))
end
return replies
