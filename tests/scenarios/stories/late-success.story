A step beside the one that was refused succeeds after the saga has turned back: what it answered goes to its
undo.

saga:
  hotel, after nothing
  car, after nothing

given:
  hotel: refused FULL, takes 1s
  car: succeeded, takes 2s, with {"booking": 7}

timeline:
  +0s saga started
  +0s hotel begun
  +0s car begun
  +1s hotel refused FULL
  +2s car succeeded with {"booking":7}
  +2s undo car begun
  +2s car undone

ends: COMPENSATED
error: hotel at HotelService was refused: FULL: the business says no. What was begun has been undone.
stands: nothing
sent: do hotel, do car, undo car
asked:
  undo car with {"outputs":{}}, receipt {"booking":7}

after a crash at car begun:
  hotel refused FULL
  side by side:
    undo hotel begun, no receipt; hotel undone
    car succeeded with {"booking":7}; undo car begun; car undone

# Nobody waits for the car's answer any more. Its undo bars the booking, which is still on its way.
after a crash at hotel refused FULL:
  undo car begun, no receipt
  car undone
