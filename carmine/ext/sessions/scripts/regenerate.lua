-- Give a session another id: the new key is there and the old one gone in one step.
-- KEYS[1] the new key, KEYS[2] the old one
-- ARGV[1], ARGV[2] as in header.lua, ARGV[3] contents, ARGV[4] 1 where they are new, 0 to keep what is stored,
--   ARGV[5] 1 where its absolute lifetime begins anew
-- Returns 1; 0 where the old session is not there; -1 where the new key is taken.
local text = redis.call('GET', KEYS[2])
local session = text and parse(text)
if not session then
  return 0
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return -1
end
local contents = ARGV[4] == '1' and ARGV[3] or string.sub(text, session.rest)
if ARGV[5] == '1' then
  session = begin(session.idle)
end
local kept = put(KEYS[1], session, contents) -- first: a server without memory refuses it, and nothing has changed
redis.call('DEL', KEYS[2])
return kept
