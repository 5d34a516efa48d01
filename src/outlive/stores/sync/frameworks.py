"""What frameworks keep, without asyncio."""

from __future__ import annotations

from outlive.stores.app_sessions import AppSessions
from outlive.stores.graphs import Graphs
from outlive.stores.histories import Histories
from outlive.stores.items import Items
from outlive.stores.shared import SharedConversations
from outlive.sync import Face, iterated, through


class SyncHistories(Face[Histories]):
    """`Histories` for programs without asyncio: its calls take and return the same."""

    write = through(Histories.write)
    read = through(Histories.read)
    page = through(Histories.page)
    path = through(Histories.path)
    delete = through(Histories.delete)


class SyncSharedConversations(Face[SharedConversations]):
    """`SharedConversations` for programs without asyncio: its calls take and return the same."""

    append = through(SharedConversations.append)
    contents = through(SharedConversations.contents)
    take_last = through(SharedConversations.take_last)
    clear = through(SharedConversations.clear)


class SyncAppSessions(Face[AppSessions]):
    """`AppSessions` for programs without asyncio: its calls take and return the same."""

    create = through(AppSessions.create)
    append = through(AppSessions.append)
    load = through(AppSessions.load)
    listed = iterated(AppSessions.listed)
    user_state = through(AppSessions.user_state)
    delete = through(AppSessions.delete)


class SyncItems(Face[Items]):
    """`Items` for programs without asyncio: its calls take and return the same."""

    put = through(Items.put)
    get = through(Items.get)
    search = through(Items.search)
    nearest = through(Items.nearest)
    namespaces = through(Items.namespaces)
    refresh = through(Items.refresh)
    sweep = through(Items.sweep)
    enable_vectors = through(Items.enable_vectors)


class SyncGraphs(Face[Graphs]):
    """`Graphs` for programs without asyncio: its calls take and return the same."""

    put = through(Graphs.put)
    put_writes = through(Graphs.put_writes)
    read = through(Graphs.read)
    page = through(Graphs.page)
    line = through(Graphs.line)
    objects = through(Graphs.objects)
    delete_thread = through(Graphs.delete_thread)
    delete_runs = through(Graphs.delete_runs)
    copy_thread = through(Graphs.copy_thread)
    prune = through(Graphs.prune)
