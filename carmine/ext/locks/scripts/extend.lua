-- Let a lease last for another while, if it still does.
-- KEYS[1] the lock, KEYS[2] its last fence
-- ARGV[1] token, ARGV[2] milliseconds that the lease lasts from now on, ARGV[3] milliseconds that the fence is kept
-- Returns the fence, or 0 where the token does not hold the lock.
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
  return 0
end
local fence = tonumber(redis.call('GET', KEYS[2]) or '')
if not fence then -- evicted
  local now = redis.call('TIME')
  fence = now[1] * 1000000 + now[2]
end
redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', ARGV[3])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return fence
