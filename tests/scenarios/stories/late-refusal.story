A step that is refused after the saga has turned back has done nothing, so it is not undone.

saga:
  hotel, after nothing
  car, after nothing

given:
  hotel: status UNIMPLEMENTED
  car: refused NO_CAR, takes 2s

timeline:
  saga started
  hotel begun
  car begun
  hotel faulted PERMANENT UNIMPLEMENTED, for good
  undo hotel begun, no receipt
  hotel undone
  car refused NO_CAR

ends: COMPENSATED
error: hotel at HotelService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing
sent: {do hotel, do car}, undo hotel

# The attempt that the crash may have swallowed is a second one.
after a crash at car begun:
  hotel faulted PERMANENT UNIMPLEMENTED, for good
  undo hotel begun, no receipt
  hotel undone
  car refused NO_CAR
  undo car begun, no receipt
  car undone

after a crash at undo hotel begun, no receipt:
  side by side:
    hotel undone
    undo car begun, no receipt; car undone

after a crash at hotel undone:
  undo car begun, no receipt
  car undone
