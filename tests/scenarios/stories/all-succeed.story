Steps that stand one below the other are done one after the other, and each is given what the others answered.

saga:
  reserve
  pay
  ship
input: {"order": "o-1"}

given:
  reserve: succeeded with {"ref": "r-1"}

timeline:
  saga started
  reserve begun
  reserve succeeded with {"ref":"r-1"}
  pay begun
  pay succeeded
  ship begun
  ship succeeded

ends: COMPLETED
stands: reserve, pay, ship
sent: do reserve, do pay, do ship
asked:
  do reserve with {"order":"o-1","outputs":{}}
  do ship with {"order":"o-1","outputs":{"pay":"pay done","reserve":{"ref":"r-1"}}}
