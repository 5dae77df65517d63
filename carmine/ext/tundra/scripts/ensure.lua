-- Look which keys must be brought back, and lend more time to those that are here.
-- KEYS: the marks, then the keys.
-- ARGV: the time lent (ms; 0 none).
-- Returns the places, counted from 1, of the keys that are archived and not here.
-- include: marks
local ttl, away = tonumber(ARGV[1]), {}
local may_be_over = redis.call('EXISTS', own, dirty) == 2
for i = 5, #KEYS do
  local key = KEYS[i]
  local at = expires(key)
  if at == -2 then
    if redis.call('SISMEMBER', evictable, key) == 1 then
      local mine = score(own, key)
      if not mine or mine > now then away[#away + 1] = i - 4 end
    end
  elseif at == -1 then
    local mine = may_be_over and own_end(key, at)
    if mine and mine <= now then bury(key, mine) end
  elseif ttl > 0 then
    local given = score(lent, key)
    if given and math.abs(given - at) <= slack and now + ttl > at then lend(key, at, score(own, key), ttl) end
  end
end
return away
