-- Let a session live on from now, and read it in the same step.
-- KEYS[1] the session
-- ARGV[1], ARGV[2] as in header.lua, ARGV[3] 1 to read it, 0 to be told whether it is there
-- Returns what is stored, or 1; nil where it is not there or its time is over. What is not ours is not extended.
local text = ARGV[3] == '1' and redis.call('GET', KEYS[1]) or redis.call('GETRANGE', KEYS[1], 0, 95)
if not text or text == '' then
  return false
end
local session = parse(text)
if session then
  local ms = left(session)
  if ms == nil then
    redis.call('PERSIST', KEYS[1])
  elseif ms > 0 then
    redis.call('PEXPIRE', KEYS[1], string.format('%.0f', ms))
  else
    redis.call('DEL', KEYS[1])
    return false
  end
end
if ARGV[3] == '1' then
  return text
end
return session and 1 or false
