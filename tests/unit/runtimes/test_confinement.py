"""Which users hosts become: none that another host is."""

from __future__ import annotations

from serving.runtimes.host.confinement import FEW_USERS, MANY_USERS, Confinement


def test_no_two_hosts_of_a_node_have_the_same_user() -> None:
    """Numbers are given out once, until they are given back."""
    users = Confinement(users=range(5, 8))
    taken = [users.order()["user"] for _ in range(3)]
    assert sorted(taken) == [5, 6, 7]
    users.give_back(taken[1])
    assert users.order()["user"] == taken[1]


def test_more_hosts_than_users_share() -> None:
    """Where all numbers are taken, a host still gets one."""
    users = Confinement(users=range(5, 6))
    assert [users.order()["user"] for _ in range(2)] == [5, 5]


def test_hosts_of_two_nodes_do_not_meet() -> None:
    """Two nodes know nothing of one another: their numbers come from so many that they differ."""
    mine, theirs = Confinement(), Confinement()
    ours = [node.order()["user"] for node in (mine, theirs) for _ in range(100)]
    assert all(user in MANY_USERS or user in FEW_USERS for user in ours)
    assert ours[0] in FEW_USERS or len(set(ours)) == 200
