A saga that is cancelled with several steps under way undoes each as its answer comes, and begins none that
waited for them.

saga:
  flight, after nothing
  hotel, after nothing
  car, after nothing
  pay, after flight and hotel and car

given:
  flight: succeeded, takes 1s
  hotel: status UNAVAILABLE, takes 2s
  car: pending, ask again in 1h

meanwhile:
  car pending, asked again in 1h -> cancel

timeline:
  +0s saga started
  +0s flight begun
  +0s hotel begun
  +0s car begun
  +0s car pending, asked again in 1h
  +0s cancel requested
  +0s undo car begun, no receipt
  +0s car undone
  +1s flight succeeded
  +1s undo flight begun
  +1s flight undone
  +2s hotel faulted UNKNOWN UNAVAILABLE, for good
  +2s undo hotel begun, no receipt
  +2s hotel undone

ends: COMPENSATED
error: Cancelled. What was begun has been undone.
stands: nothing

# Nobody waits for the answers of flight and hotel any more.
after a crash at undo car begun, no receipt:
  side by side:
    car undone
    undo hotel begun, no receipt; hotel undone
    undo flight begun, no receipt; flight undone

after a crash at car undone:
  side by side:
    undo hotel begun, no receipt; hotel undone
    undo flight begun, no receipt; flight undone

after a crash at undo flight begun:
  side by side:
    flight undone
    undo hotel begun, no receipt; hotel undone

after a crash at flight undone:
  undo hotel begun, no receipt
  hotel undone
