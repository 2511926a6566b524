An undo that fails for good blocks what its step depends on; the other side of the graph is undone while a
person is called.

saga:
  flight, after nothing
  seat, after flight
  hotel, after nothing
  room, after hotel
  pay, after seat and room

given:
  pay: status UNIMPLEMENTED
  undo seat: refused CHECKED_IN

timeline:
  saga started
  side by side:
    flight begun; flight succeeded; seat begun; seat succeeded
    hotel begun; hotel succeeded; room begun; room succeeded
  pay begun
  pay faulted PERMANENT UNIMPLEMENTED, for good
  undo pay begun, no receipt
  pay undone
  side by side:
    undo seat begun; undo seat refused CHECKED_IN
    undo room begun; room undone; undo hotel begun; hotel undone

ends: DEAD_LETTERED, seat REFUSED
error: pay at PayService was given up: UNIMPLEMENTED: a status. Its undo needs a person: undo_seat at SeatService failed for good; behind it wait: flight.
stands: flight, seat
