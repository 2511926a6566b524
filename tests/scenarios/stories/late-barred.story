After the saga has turned back, an Execute that is barred is no contradiction: it came after its undo, and
nobody is alarmed.

saga:
  hotel, after nothing
  car, after nothing

given:
  hotel: status UNIMPLEMENTED, takes 1s
  car: barred, takes 2s

timeline:
  +0s saga started
  +0s hotel begun
  +0s car begun
  +1s hotel faulted PERMANENT UNIMPLEMENTED, for good
  +1s undo hotel begun, no receipt
  +1s hotel undone
  +2s car faulted BARRED, for good
  +2s undo car begun, no receipt
  +2s car undone

ends: COMPENSATED
error: hotel at HotelService was given up: UNIMPLEMENTED: a status. What was begun has been undone.
stands: nothing

after a crash at undo hotel begun, no receipt:
  side by side:
    hotel undone
    undo car begun, no receipt; car undone

after a crash at hotel undone:
  undo car begun, no receipt
  car undone
