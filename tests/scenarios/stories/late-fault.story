A step that faults after the saga has turned back is not asked again: it is undone, for its effect may be
there.

saga:
  hotel, after nothing
  car, after nothing

given:
  hotel: refused FULL, takes 1s
  car: status UNAVAILABLE after the effect, takes 2s

timeline:
  +0s saga started
  +0s hotel begun
  +0s car begun
  +1s hotel refused FULL
  +2s car faulted UNKNOWN UNAVAILABLE, for good
  +2s undo car begun, no receipt
  +2s car undone

ends: COMPENSATED
error: hotel at HotelService was refused: FULL: the business says no. What was begun has been undone.
stands: nothing

after a crash at car begun:
  hotel refused FULL
  side by side:
    undo hotel begun, no receipt; hotel undone
    car faulted UNKNOWN UNAVAILABLE, for good; undo car begun, no receipt; car undone

after a crash at hotel refused FULL:
  undo car begun, no receipt
  car undone
