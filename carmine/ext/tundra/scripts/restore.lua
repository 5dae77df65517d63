-- Bring a key back from its archive; a value that is here already wins.
-- KEYS: the marks, then the key.
-- ARGV: DUMP, ms at which the archive says its own time ends (-1 never), the time lent (ms; 0 none), then '1' to take in
--   a key without a mark (after the server has lost its data), and '1' to set the mark alone.
-- Returns 'restored', 'marked', 'here', 'expired' (its own time is over), 'forgotten' (it has no mark).
-- include: marks
local key, archived_end, ttl = KEYS[5], tonumber(ARGV[2]), tonumber(ARGV[3])
local at = expires(key)
local mine = score(own, key) or (archived_end > 0 and archived_end)
if at ~= -2 then return 'here' end
if mine and mine <= now then return mine == 0 and 'forgotten' or 'expired' end
if ARGV[4] ~= '1' and redis.call('SISMEMBER', evictable, key) == 0 then return 'forgotten' end
if ARGV[5] ~= '1' then
  local reply = redis.pcall('RESTORE', key, 0, ARGV[1])
  if type(reply) == 'table' and reply.err then return reply end
end
redis.call('SADD', evictable, key)
if mine then redis.call('ZADD', own, mine, key) end
if ARGV[5] == '1' then return 'marked' end
lend(key, -1, mine, ttl)
return 'restored'
