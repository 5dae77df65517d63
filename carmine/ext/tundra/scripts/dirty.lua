-- Note that keys have changed, and let none of them expire before its archive is confirmed.
-- KEYS: the marks, then the keys.
-- Returns one number a key: 1 noted, 0 there is no such key.
-- include: marks
local replies = {}
for i = 5, #KEYS do
  local key = KEYS[i]
  local at = expires(key)
  if at == -2 then
    replies[i - 4] = 0
  else
    local mine = own_end(key, at)
    -- one whose own time is over was written since, and that is a new life
    if mine and mine > now then
      redis.call('ZADD', own, mine, key)
    else
      redis.call('ZREM', own, key)
    end
    redis.call('ZREM', lent, key)
    if at ~= -1 then redis.call('PERSIST', key) end
    redis.call('ZADD', dirty, now, key)
    replies[i - 4] = 1
  end
end
return replies
