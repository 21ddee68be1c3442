-- Read the heads of several queues without taking anything off (rule A).
-- ARGV: course, how many, course, how many, ...
-- Returns per course {id, data, id, data, ...}; data is false where the job hash is gone or is no hash. What stands in
-- a queue's place and is no list has no heads, so that it stops no other course.
local heads = {}

local function data_of(id)
  local data = redis.pcall('HGET', 'rq:job:' .. id, 'data')
  return type(data) == 'string' and data
end

for i = 1, #ARGV, 2 do
  local head = {}
  for _, id in ipairs(redis.pcall('LRANGE', 'rq:queue:course-' .. ARGV[i], 0, ARGV[i + 1] - 1)) do
    head[#head + 1] = id
    head[#head + 1] = data_of(id)
  end
  heads[#heads + 1] = head
end
return heads
