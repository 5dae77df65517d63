-- The time in ms: the server's, so that no client's clock counts; ARGV[1] where a test sets it.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end
