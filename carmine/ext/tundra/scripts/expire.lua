-- Delete keys whose own time is over.
-- KEYS: the marks, then the keys.
-- Returns one number a key: 1 its archive is to be deleted, 0 it is somebody's new value, which nobody noted.
-- include: marks
local replies = {}
for i = 5, #KEYS do
  local key = KEYS[i]
  local mine = score(own, key)
  local at = expires(key)
  if not mine or mine > now then
    replies[i - 4] = 0
  elseif at == -2 then
    replies[i - 4] = 1
  elseif at == -1 and score(dirty, key) then
    bury(key, mine)
    replies[i - 4] = 1
  elseif at ~= -1 and at <= now + 50 then
    replies[i - 4] = 0 -- it is about to expire by itself: in its last ms its time is over, and it is still here
  else
    redis.call('ZREM', own, key)
    redis.call('SREM', evictable, key)
    replies[i - 4] = 0
  end
end
return replies
