-- Take a lock, or tell how long it is held.
-- KEYS[1] the lock, KEYS[2] its last fence
-- ARGV[1] token, ARGV[2] milliseconds that the lease lasts, ARGV[3] milliseconds that the fence is kept
-- Returns {1, fence} where the token holds the lock now, else {0, milliseconds that are left to the holder or -1}.
-- Again with the same token it gives the same fence: who does not know whether it ran may run it again.
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then
  return {0, redis.call('PTTL', KEYS[1])}
end
local fence = tonumber(redis.call('GET', KEYS[2]) or '')
if not held or not fence then
  local now = redis.call('TIME')
  fence = math.max((fence or 0) + 1, now[1] * 1000000 + now[2])
end
-- the lock last: whatever fails before leaves it free
redis.call('SET', KEYS[2], string.format('%.0f', fence), 'PX', ARGV[3])
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return {1, fence}
