"""The server as a service that all users of a Hub share: who comes in, and how much they may use.

Who somebody is, their groups and whether they administrate is the Hub's to say; it is asked anew
after seconds. Nothing here opens Jupyter's own routes: those know nobody.
"""
