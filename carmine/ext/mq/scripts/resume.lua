-- Let a paused queue go on.
-- KEYS: as named below.
-- Returns 1 where it was paused, else 0.
local isleep_a, isleep_b, paused = unpack(KEYS)
-- include: wake

local was = redis.call('DEL', paused)
if was == 1 then wake() end
return was
