-- Write new contents into a session that is there, and let it live on from now.
-- KEYS[1] the session
-- ARGV[1], ARGV[2] as in header.lua, ARGV[3] contents, ARGV[4] its own idle time in ms, 0 for ever, - for the store's,
--   empty for what it had
-- Returns 1, or 0 where it is not there; a key whose header is not ours is left alone.
local session = parse(redis.call('GETRANGE', KEYS[1], 0, 95))
if not session then
  return 0
end
if ARGV[4] ~= '' then
  session.idle = ARGV[4]
end
if put(KEYS[1], session, ARGV[3]) == 1 then
  return 1
end
redis.call('DEL', KEYS[1])
return 0
