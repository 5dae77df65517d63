-- Begin a session, unless its key is taken.
-- KEYS[1] the session
-- ARGV[1], ARGV[2] as in header.lua, ARGV[3] contents, ARGV[4] its own idle time in ms, 0 for ever, - for the store's
-- Returns 1, or 0 where the key was taken.
if redis.call('EXISTS', KEYS[1]) == 1 then
  return 0
end
return put(KEYS[1], begin(ARGV[4]), ARGV[3])
