An input that cannot be made turns the saga back while a step beside it is under way; that one's answer is
waited for.

saga:
  flight, after nothing
  hotel, after nothing
  seat, after flight
    input: {"seat": "outputs.flight.seats[0]"}

given:
  flight: succeeded with {"seats": []}
  hotel: succeeded, takes 2s

timeline:
  +0s saga started
  +0s flight begun
  +0s hotel begun
  +0s flight succeeded with {"seats":[]}
  +0s seat's input.seat failed: outputs.flight.seats has no entry 0; its first is 0
  +0s undo flight begun
  +0s flight undone
  +2s hotel succeeded
  +2s undo hotel begun
  +2s hotel undone

ends: COMPENSATED
error: An expression of step seat failed, at input.seat: outputs.flight.seats has no entry 0; its first is 0. What was begun has been undone.
stands: nothing

after a crash at undo flight begun:
  side by side:
    flight undone
    undo hotel begun, no receipt; hotel undone

after a crash at flight undone:
  undo hotel begun, no receipt
  hotel undone
