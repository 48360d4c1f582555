"""The nightly job: new prices, new demand and the plan in force become a verified plan for the day, and a record.

``config`` reads what to do, ``feeds`` and ``prometheus`` fetch and judge, ``forecast`` looks ahead, ``question`` puts both into
the instance, ``guards`` refuse, ``publish`` writes, ``store`` remembers, ``job`` runs the stages in order and survives faults.
"""
