-- The queue's layout: additions to it never change the version, so a higher one means keys this script would break.
local layout = redis.call('HGET', stats, 'layout')
if not layout then
  redis.call('HSET', stats, 'layout', 1)
elseif tonumber(layout) > 1 then
  return redis.error_reply('MQLAYOUT this queue has layout ' .. layout .. ', these scripts know 1')
end
