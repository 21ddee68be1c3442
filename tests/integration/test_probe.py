def test_x(make_course, make_students, redis_client):
    print(make_course(2,3), make_students(3), redis_client.ping())
