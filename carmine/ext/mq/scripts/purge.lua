-- Remove dead letters for good.
-- KEYS: as named below.
-- ARGV: mids; without any, all dead letters.
-- Returns how many there were.
local dead, dead_messages, dead_notes = unpack(KEYS)

if #ARGV > 0 then
  redis.call('HDEL', dead_messages, unpack(ARGV))
  redis.call('HDEL', dead_notes, unpack(ARGV))
  return redis.call('ZREM', dead, unpack(ARGV))
end
local count = redis.call('ZCARD', dead)
redis.call('UNLINK', dead, dead_messages, dead_notes)
return count
