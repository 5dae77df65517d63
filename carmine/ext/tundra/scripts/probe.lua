-- Tell the RDB version of what this server dumps.
-- KEYS: the marks, then a key that is nobody's.
-- Returns the version.
local probe = KEYS[5]
redis.call('SET', probe, '')
local dump = redis.call('DUMP', probe)
redis.call('DEL', probe)
return dump:byte(#dump - 9) + 256 * dump:byte(#dump - 8)
