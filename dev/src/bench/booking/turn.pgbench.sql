SELECT bench.book(i.endpoint, i.message_id, now(), i.body, i.uid, i.event_type, i.booking_id, i.sequence, i.host, i.starts_at, i.ends_at, i.email, i.name, i.occurred_at)
    FROM bench.input i WHERE i.n = (SELECT nextval('bench.turn'));
