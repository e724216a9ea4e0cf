# Completion for fish: nbdcrypt itself says what can stand next (the one that is installed).

function __nbdcrypt_complete
    set -l typed (commandline -ct)
    set -l words (commandline -opc)
    for line in (command nbdcrypt __complete $words[2..-1] $typed 2>/dev/null)
        switch $line
            case :files
                __fish_complete_path $typed
            case :folders
                __fish_complete_directories $typed
            case '*'
                echo $line
        end
    end
end

complete -c nbdcrypt -f -a '(__nbdcrypt_complete)'
