-- One request as Redis knows it.
-- KEYS: job
-- Returns {data, outcome, applied, pace (us)}; data is false when there is no such job.
local job = redis.call('HMGET', KEYS[1], 'data', 'result', 'origin')
if not job[1] then
  return {false, false, 0, 0}
end
local course = string.gsub(job[3] or '', '^course%-', 'cr:course:')
local state = redis.pcall('HMGET', course, 'applied', 'pace_us')
return {job[1], job[2], tonumber(state[1] or 0) or 0, tonumber(state[2] or 0) or 0}
