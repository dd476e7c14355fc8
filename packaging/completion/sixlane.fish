# fish completion for sixlane; made by: sixlane completion fish
function __sixlane_complete
    set -l words (commandline -opc)
    set -lx _SIXLANE_LINE (commandline -cp)
    set -lx _SIXLANE_COMPLETE words_complete
    for line in ($words[1] 2>/dev/null)
        set -l parts (string split -m 1 , -- $line)
        switch $parts[1]
            case file
                __fish_complete_path (commandline -ct)
            case dir
                __fish_complete_directories (commandline -ct)
            case plain
                echo -- $parts[2]
        end
    end
end
complete -c sixlane -f -a '(__sixlane_complete)'
