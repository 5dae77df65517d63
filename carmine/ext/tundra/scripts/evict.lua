-- Take a key out of memory, if it is what its archive holds.
-- KEYS: the marks, then the key.
-- ARGV: SHA-1 of the archived DUMP, its length, its RDB version, ms at which the archive says its own time ends (-1
--   never), '1' to compare and leave it there.
-- Returns 'evicted' (or 'same'), 'away' (it is not here), 'dirty' (its change is noted), 'changed', 'unarchived', 'older'
--   (of a version that cannot be compared), 'expired' (its own time is over).
-- include: marks
local key, archived_end = KEYS[5], tonumber(ARGV[4])
local at = expires(key)
if redis.call('SISMEMBER', evictable, key) == 0 then return at == -2 and 'away' or 'unarchived' end
if at == -2 then return 'away' end
local mine = own_end(key, at)
if mine and mine <= now then
  if ARGV[5] ~= '1' then bury(key, mine) end
  return 'expired'
end
if score(dirty, key) then return 'dirty' end
if differ(mine, archived_end > 0 and archived_end) then return 'changed' end
local dump = redis.call('DUMP', key)
if redis.sha1hex(dump) ~= ARGV[1] then
  if dump:byte(#dump - 9) + 256 * dump:byte(#dump - 8) ~= tonumber(ARGV[3]) then return 'older' end
  -- a hash table gives its elements in another order after each RESTORE; then their bytes are compared by number alone
  local encoding = redis.call('OBJECT', 'ENCODING', key)
  if encoding ~= 'hashtable' or #dump ~= tonumber(ARGV[2]) then return 'changed' end
end
if ARGV[5] == '1' then return 'same' end
redis.call('UNLINK', key)
redis.call('ZREM', lent, key)
return 'evicted'
