from carmine.commands._command import Command as Command
from carmine.commands._command import Reply as Reply
from carmine.commands._command import ReplyQueue as ReplyQueue
from carmine.commands._command import Spec as Spec
from carmine.commands._command import flags_of as flags_of
from carmine.commands._command import modes_of as modes_of
from carmine.commands._command import settle_each as settle_each
from carmine.commands._command import words_of as words_of
