-- Take a key's value for its archive.
-- KEYS: the marks, then the key.
-- Returns {DUMP, ms at which its own time ends or -1}; {} where there is no such key, {0} where its own time is over.
-- include: marks
local key = KEYS[5]
local at = expires(key)
if at == -2 then
  redis.call('ZREM', dirty, key)
  redis.call('ZREM', lent, key)
  local mine = score(own, key)
  if mine and mine <= now and mine > 0 then return {0} end
  return {}
end
local mine = own_end(key, at)
if mine and mine <= now then
  bury(key, mine)
  return {0}
end
return {redis.call('DUMP', key), mine or -1}
